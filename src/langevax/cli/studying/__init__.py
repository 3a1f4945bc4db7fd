"""Many studies under one command: each in a process of its own, progress over all, and going on after an end.

folder.py   what a study's folder answers: its request, and whether it is complete
child.py    one study in a process of its own
pace.py     how long the others will take, and the line that says so
every.py    all of them: started, waited for, told
atlas.py    what their folders hold, as the contents of a page
report.py   the page, and what is not on it
"""
