"""The journal: what happened to each schedule, once, in order, and the fence that lets only its newest owner write.

What is in it is durable; everything else that is known of a schedule can be made from it again.
"""
