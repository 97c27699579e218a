"""Starting, keeping and stopping everything that `boxoffice up` promises. No process outlives its parent."""
