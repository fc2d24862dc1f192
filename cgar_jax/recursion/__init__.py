"""The recursion and everything that training and evaluation share."""
