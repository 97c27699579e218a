"""Every process that lives long: owners and the way to them, readers, receiving services, work in the background."""
