-- Pairs of faces of one person in different videos, for many videos at once; equals
-- difffake.differential.pairs.draw_pairs_across video by video.
-- Reads usable_faces(role, video_sha256, track_id, face_id) and eligible(role, video_sha256, reference_sha256), see
-- list_references.sql. Only main people are compared: nobody says who the others of a video are.
-- md5 is read as a random rank, as in draw_pairs.sql.
WITH people AS (
    SELECT DISTINCT role, video_sha256, face_id FROM usable_faces WHERE track_id = 0
),
seen AS (
    SELECT DISTINCT role, video_sha256 FROM people
),
candidates AS (
    SELECT
        bases.role,
        bases.video_sha256,
        bases.face_id AS base_id,
        eligible.reference_sha256,
        row_number() OVER (
            PARTITION BY bases.role, bases.video_sha256, bases.face_id
            ORDER BY
                md5(
                    $seed::VARCHAR || '/video/'
                    || CASE WHEN $relation = 'cross_video' THEN bases.face_id || '/' ELSE '' END
                    || eligible.reference_sha256
                ),
                eligible.reference_sha256
        ) AS video_rank
    FROM people AS bases
    JOIN eligible
        ON eligible.role = bases.role
        AND eligible.video_sha256 = bases.video_sha256
    SEMI JOIN seen
        ON seen.role = eligible.role
        AND seen.video_sha256 = eligible.reference_sha256
),
drawn AS (
    SELECT role, video_sha256, base_id, reference_sha256
    FROM candidates
    WHERE video_rank <= CASE WHEN $relation = 'cross_video' THEN 1 ELSE $references END
)
-- Two partners of a base have different texts, so their digests do not tie.
SELECT
    drawn.role,
    drawn.video_sha256,
    drawn.base_id,
    arg_min(partners.face_id, md5($seed::VARCHAR || '/' || drawn.base_id || '/' || partners.face_id)) AS partner_id
FROM drawn
JOIN people AS partners
    ON partners.role = drawn.role
    AND partners.video_sha256 = drawn.reference_sha256
GROUP BY drawn.role, drawn.video_sha256, drawn.base_id, drawn.reference_sha256
ORDER BY drawn.role, drawn.video_sha256, drawn.base_id, partner_id
