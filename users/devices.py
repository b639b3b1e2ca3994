"""The name of a device, for its owner: made by a table of ours."""

# The first that a User-Agent contains: most browsers pretend to be those after them.
BROWSERS = {
    "Edg": "Edge", "OPR/": "Opera", "SamsungBrowser": "Samsung Internet", "Whale/": "Whale",
    "KAKAOTALK": "KakaoTalk", "NAVER(": "Naver", "FxiOS": "Firefox", "Firefox/": "Firefox",
    "CriOS": "Chrome", "Chrome/": "Chrome", "Safari/": "Safari",
}  # fmt: skip
SYSTEMS = {
    "iPhone": "iPhone", "iPad": "iPad", "Android": "Android", "CrOS": "ChromeOS",
    "Windows": "Windows", "Mac OS X": "macOS", "Linux": "Linux",
}  # fmt: skip


def label(user_agent: str) -> str:
    """Such as "Chrome · Windows"; never the header itself, which is a text of a stranger's."""
    found = (
        next((name for mark, name in table.items() if mark in user_agent), "")
        for table in (BROWSERS, SYSTEMS)
    )
    return " · ".join(filter(None, found))
