"""The whole system on one machine: Apache Kafka, PostgreSQL, simulator, API and stages as processes of their own."""
