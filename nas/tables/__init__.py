"""Latency tables.

table.py       reads one, and answers from it
rows.py        its rows, checked column by column
header.py      the header's form
model.py       fills between rows
check.py       says how true a table is
references.py  networks measured beside it, for holding a device against itself later
listing.py     which spaces each answers, and how far off it is
write.py       writes one
store.py       keeps the user's own
diff.py        compares two
merge.py       makes one of two
"""
