"""What is remembered about users: one interface, SQLite or PostgreSQL behind it, migrations, backup and import.

Statements and transactions enter here. Commands and messages to users do not.
"""
