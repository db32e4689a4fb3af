"""`roost check`: is it well? Stage by stage, for a person, a program or a monitor."""
