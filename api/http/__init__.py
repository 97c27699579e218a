"""What a request passes and what an answer is made of: who asks, how often, what is wrong with it, in which words."""
