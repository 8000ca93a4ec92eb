"""Values that cross folders: frozen, without torch and without I/O."""
