-- Running downgrade d4 -> c3

DROP TABLE t;
