"""The payment sandbox: a provider for trying things out, a process of its own that forgets nothing."""
