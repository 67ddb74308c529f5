-- Pairs of faces to compare, for many groups at once; equals difffake.differential.pairs.draw_pairs group by group.
-- Reads candidate_faces(group_key VARCHAR, face_id VARCHAR), face_id unique within its group.
-- md5 is read as a random rank: it is the same function in every DuckDB version, which hash() is not.
WITH ranked AS (
    SELECT
        group_key,
        face_id,
        row_number() OVER (
            PARTITION BY group_key
            ORDER BY md5(concat($seed, '/pool/', face_id)), face_id
        ) AS pool_rank,
        count(*) OVER (PARTITION BY group_key) AS face_count
    FROM candidate_faces
),

split AS (
    SELECT
        group_key,
        face_id,
        pool_rank <= CASE
            WHEN face_count > $half_up_to AND face_count > $pool_size THEN $pool_size
            ELSE face_count // 2
        END AS in_pool
    FROM ranked
)

-- Two partners of a base have different texts, so their digests do not tie.
SELECT
    bases.group_key AS group_key,
    bases.face_id AS base_id,
    arg_min(
        partners.face_id,
        md5(concat($seed, '/', bases.face_id, '/', partners.face_id))
    ) AS partner_id
FROM split AS bases
INNER JOIN split AS partners
    ON bases.group_key = partners.group_key AND NOT bases.in_pool AND partners.in_pool
GROUP BY bases.group_key, bases.face_id
ORDER BY bases.group_key, bases.face_id;
