-- What it did is a part of 040 by now; there are databases that have it on record.
SELECT;
