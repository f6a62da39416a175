"""The page, and the Markdown, that show the figures and claims of a paper."""
