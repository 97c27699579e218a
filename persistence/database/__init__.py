"""How a database is reached and brought up to date: connections and pools, tables, migrations, times as it stores them;
and how Redis is reached.

Nobody above names a driver's error: what may be away says so in one way, here.
"""
