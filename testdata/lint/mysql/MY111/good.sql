ALTER TABLE parcels MODIFY size enum('small', 'large', 'medium') NOT NULL, ALGORITHM=INSTANT;
