"""What was measured: as JSON, as the Markdown of docs/performance.md, as pictures."""
