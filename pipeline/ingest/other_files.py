"""What a file that holds no picture is instead, and the way out."""

from __future__ import annotations

import re

# By how a file begins. White space before a text does not count.
OTHER_FILES = (
    (rb"%!PS|\xc5\xd0\xd3\xc6|%!\n|\x04%!PS", "PostScript, which is a program and is not run: save it as PNG or TIFF"),
    (rb"version https://git-lfs", "not an image but a Git LFS pointer: run 'git lfs pull' where it was cloned"),
    (rb"(?is)(<\?xml.{0,2000}?)?(<!--.{0,2000}?)?<svg", "not an image but an SVG drawing: save it as PNG"),
    (
        rb"(?i)(<!--.*?-->\s*)?(<\?xml.*?>\s*)?<(!doctype html|html|head|body|title|script|meta)",
        "not an image but an HTML page, as of a download that failed: fetch it again",
    ),
    (
        rb"<\?xml|<error|[{\[]\s*[\"{\[}\]]",
        "not an image but text (XML or JSON), as of a download that failed: fetch it again",
    ),
    (rb"%PDF", "not an image but a PDF document: save its page as PNG"),
    (rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!", "not an image but an archive: unpack it"),
    (rb"(?s)....ftyp|\x1aE\xdf\xa3|RIFF....AVI ", "not an image but a film, or of a format that Pillow does not know"),
    (rb"(?s).{128}DICM", "not an image but DICOM: save it as PNG or TIFF"),
    (
        rb"II[*+]\0|MM\0[*+]",
        "a TIFF of a kind that Pillow does not read, or damaged at its beginning: save it anew, with samples of 8 bits",
    ),
    (
        rb"\xff\xd8\xff",
        "a JPEG of a kind that Pillow does not read, such as one of 12 bits, or damaged at its beginning: save it anew",
    ),
    (rb"\x89PNG|GIF8|RIFF....WEBP|BM", "damaged at its beginning: copy it again"),
    (rb"\0{16,}\Z", "not an image: it holds nothing but zero bytes: copy it again"),
)
UNKNOWN = "not an image, or of a format that Pillow does not know"


def what_else(data: bytes) -> str:
    """The reason for a file that Pillow does not know, from its first bytes."""
    begin = data[:4096].removeprefix(b"\xef\xbb\xbf")
    stripped = begin.lstrip()
    return next((said for like, said in OTHER_FILES if re.match(like, begin) or re.match(like, stripped)), UNKNOWN)
