"""The pages for people: a static single-page application, what builds it, and what serves the built files.

Their sources are TypeScript and Svelte (`src/`). They are a client of the public API like any other; the Python side
knows nothing of what is on them but the title of what is shared.
"""
