"""Does it learn, and better than what?"""
