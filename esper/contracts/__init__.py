"""The values that cross folders: frozen, free of torch and of I/O."""
