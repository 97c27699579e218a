"""One file per step, in the order of `down_revision`. A step that has been released is never changed."""
