"""What a crowd takes: what each thing that people do costs in CPU time here, and the machines that follows from."""
