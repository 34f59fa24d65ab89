"""Dead letters: records that could not be read, put aside with why; read, put back or dismissed by people."""
