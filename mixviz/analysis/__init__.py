"""What is asked of a trained run: encodings, maps and generated data, computed once and kept."""
