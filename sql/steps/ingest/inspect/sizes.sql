-- One row per measure of size, in pixels as shown: smallest, quartiles, largest.
select 'width' as measure, min(width) as smallest, quantile_disc(width, 0.25) as quarter, quantile_disc(width, 0.5) as half,
    quantile_disc(width, 0.75) as three_quarters, max(width) as largest
from images
union all
select 'height', min(height), quantile_disc(height, 0.25), quantile_disc(height, 0.5), quantile_disc(height, 0.75), max(height)
from images
