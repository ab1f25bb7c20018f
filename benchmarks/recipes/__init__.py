"""A page per recipe: what it needs and costs, what it sets, how to change it."""
