"""What administrators see of everybody's, and the few things they do about it by hand."""
