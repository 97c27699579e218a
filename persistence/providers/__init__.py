"""Payment providers behind one small protocol (`provider.Provider`)."""
