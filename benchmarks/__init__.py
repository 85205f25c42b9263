"""What is measured, against whom; the committed results are beside the scripts."""
