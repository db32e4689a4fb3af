"""JSON that stays one line for whoever reads it, and steers no terminal.

JSON itself lets through the controls from U+007F to U+009F, and the line breaks that Unicode has beside `\\n`
(RFC 8259, 7): a viewer may take the one for a command, the other for the end of a line. In a string an escape means
the same, and outside of strings none of these can be.
"""

import re

_STEERING = re.compile("[\x7f-\x9f\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
"""Those, and the format characters that move or hide what stands around them."""


def plain_json(document: bytes) -> str:
    """An encoded document with escapes in the place of such characters. It means the same."""
    text = document.decode()
    if text.isascii() and "\x7f" not in text:
        return text
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
