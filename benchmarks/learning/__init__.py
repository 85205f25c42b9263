"""What an iCaRL job costs, beside other libraries at equal work."""
