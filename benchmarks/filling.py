"""Many jobs at once, with names and errors as varied as real ones."""

from sqlalchemy import Engine, text

FIRST_NAMES = (
    "Ada Grace Alan Edsger Barbara Donald Margaret Ken Dennis Radia Tim Vint Linus Guido Bjarne James Brian Niklaus Tony "
    "Leslie Frances Shafi Silvio Adele Ivan John Anita Karen Lynn Jean Hedy Mary Sophie Éloïse Łukasz İpek Zoë Søren Iñaki "
    "Αλέξης Олена 太郎 Mei Fatima Amina Kwame Chidi Priya Ravi Arjun Noor Yusuf Leila Omar Sana Diego Lucía Mateo Camila"
)
LAST_NAMES = (
    "Lovelace Hopper Turing Dijkstra Liskov Knuth Hamilton Thompson Ritchie Perlman Cerf Torvalds Stroustrup Gosling "
    "Hoare Lamport Allen Goldwasser Micali Goldberg Sutherland McCarthy Borg Conway Bartik Lamarr Wilson Müller García "
    "Öztürk Kowalski Nakamura O'Brien Okafor Sharma Haddad Silva Santos Ferreira Novák Horvat Popescu Ivanov Nguyen Tran"
)
RARE_NAME = "Winterbottom"
RARE = 20
"""So many customers have the rare name, however many there are: whoever searches looks for somebody."""

FILL = [
    "SET synchronous_commit = off",
    "SET statement_timeout = 0",
    "DROP INDEX ix_customers_search",
    """INSERT INTO customers (email, first_name, last_name)
       SELECT lower(first_name || '.' || i || '@' || (ARRAY['example.com', 'example.org', 'mail.example'])[1 + i % 3]),
              first_name, CASE WHEN i % (:jobs / 2 / :rare) = 0 THEN :rare_name ELSE last_name END
         FROM (SELECT i, (:first_names)[1 + abs(hashint4(i)) % array_length(:first_names, 1)] AS first_name,
                         (:last_names)[1 + abs(hashint4(i + 7)) % array_length(:last_names, 1)] AS last_name
                 FROM generate_series(1, :jobs / 2) i) AS named""",
    """CREATE INDEX ix_customers_search ON customers
       USING gin (lower((((first_name || ' ') || last_name) || ' ') || email) gin_trgm_ops)""",
    "INSERT INTO signups (customer_id, operator_id) SELECT id, 'op-' || abs(hashtext(email)) % 50 FROM customers",
    """INSERT INTO signup_customerio_sync_jobs
         (signup_id, sync_phase, status, attempt_count, last_attempt_at, completed_at,
          error_type, error_code, error_message, http_status, created_at)
       SELECT signup_id, phase, CASE WHEN failed THEN 'failed' WHEN n % 1000 = 1 THEN 'pending' ELSE 'completed' END,
              CASE WHEN failed THEN n / 40 % 6 ELSE 0 END,
              now() - n % 86400 * interval '10 s',
              CASE WHEN NOT failed AND n % 1000 <> 1 THEN now() END,
              CASE WHEN failed THEN (ARRAY['rate_limit', 'server_error', 'network', 'other'])[1 + n / 20 % 4] END,
              CASE WHEN failed THEN 'http_503' END,
              CASE WHEN failed THEN 'Customer.io answered in a way that no job survives, request ' || n % 1000 END,
              CASE WHEN failed THEN 503 END,
              now() - n % 86400 * interval '10 s'
         FROM (SELECT signup_id, phase, n, n % 10 = n / 10 % 10 AS failed
                 FROM (SELECT s.id AS signup_id, phase, row_number() OVER () AS n
                         FROM signups s, (VALUES ('initial'), ('enriched')) AS phases (phase)) AS numbered) AS chosen""",
    """INSERT INTO customerio_dead_letters
         (job_id, signup_id, sync_phase, error_type, error_code, error_message, http_status, attempt_count,
          exhausted_retries, created_at)
       SELECT id, signup_id, sync_phase, error_type, error_code, error_message, http_status, attempt_count,
              attempt_count = 5, last_attempt_at
         FROM signup_customerio_sync_jobs WHERE status = 'failed'""",
    """UPDATE signups SET customerio_sync_failed = true
        WHERE id IN (SELECT signup_id FROM signup_customerio_sync_jobs WHERE status = 'failed')""",
    "VACUUM ANALYZE",
]


def fill(engine: Engine, jobs: int) -> None:
    """Make so many jobs, two to a signup. Every tenth has failed, over all phases, error types and attempts."""
    values = {
        "jobs": jobs,
        "rare": RARE,
        "rare_name": RARE_NAME,
        "first_names": FIRST_NAMES.split(),
        "last_names": LAST_NAMES.split(),
    }
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in FILL:
            connection.execute(text(statement), values)
    engine.dispose()
