"""A run folder as one page: what it holds, pictures of it, HTML or Markdown, and the very bits to try in the browser."""
