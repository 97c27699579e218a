"""From a wish to a command: terms, inputs, refunds, and the trail that administrators leave."""
