"""Every way in: over HTTP, in a browser, from the command line. What is refused is refused in words for people."""
