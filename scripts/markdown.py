"""Cells of the tables that are generated."""


def cell(text: str) -> str:
    """Return `text` as it must stand between the bars of a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def code(text: str) -> str:
    """Return `text` as code in a cell, nothing for nothing."""
    return f"`{cell(text)}`" if text else ""
