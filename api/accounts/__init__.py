"""Who somebody is: log-ins and the sessions that follow from them, in programs and in browsers."""
