ALTER TABLE parcels MODIFY size enum('small', 'medium', 'large') NOT NULL; -- expect: MY111 warning
