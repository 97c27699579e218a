"""Whether everything that knows of a schedule agrees with its journal, and mending what does not."""
