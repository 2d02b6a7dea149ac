-- One row per failure of a catalogue row with this id or path.
select image_id, path, step, name, reason from failures where image_id = $name or path = $name
