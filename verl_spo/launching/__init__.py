"""What runs before and around verl: recipes, checks, processes."""
