-- The other real videos of the person to be seen in each video: those whose faces may become partners of its faces.
-- Reads roles(role, video_key, sha256, label, identity, original_key).
-- A partner comes from the same role: then no quality level meets another one of the same footage, and nothing passes
-- between training, validation and test. Fakes are of the role test alone and are never partners. Nor is the original
-- of a fake: reals have no such partner, and whoever judges a video seldom holds what it was made from.
WITH contents AS (
    SELECT role, sha256, bool_and(label = 'real') AS is_real
    FROM roles
    GROUP BY role, sha256
),
originals AS (
    SELECT fakes.sha256, reals.sha256 AS original_sha256
    FROM roles AS fakes
    JOIN roles AS reals ON reals.video_key = fakes.original_key
)
SELECT DISTINCT judged.role, judged.sha256 AS video_sha256, others.sha256 AS reference_sha256
FROM roles AS judged
JOIN roles AS others
    ON others.role = judged.role
    AND others.identity = judged.identity
    AND others.sha256 <> judged.sha256
JOIN contents
    ON contents.role = others.role
    AND contents.sha256 = others.sha256
    AND contents.is_real
ANTI JOIN originals
    ON originals.sha256 = judged.sha256
    AND originals.original_sha256 = others.sha256
ORDER BY judged.role, judged.sha256, others.sha256
