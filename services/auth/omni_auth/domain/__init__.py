"""What a configuration file means and what a key is. Text, bytes, time and chance come in as arguments."""
