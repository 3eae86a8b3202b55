"""From dots to a patient's result: assay, counted signals per nucleus, evaluability, classes. Pure: no database, no console."""
