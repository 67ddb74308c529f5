-- Pairs of faces of one person in different videos, for many videos at once; equals
-- difffake.differential.pairs.draw_pairs_across video by video.
-- Reads usable_faces(role, video_sha256, track_id, face_id) and eligible(role, video_sha256, reference_sha256), see
-- list_references.sql. Only main people are compared: nobody says who the others of a video are.
-- md5 is read as a random number: it is the same function in every DuckDB version, which hash() is not. One a pair: a
-- rank for each candidate would be forty times as many.
WITH people AS (
    SELECT DISTINCT role, video_sha256, face_id FROM usable_faces WHERE track_id = 0
),
seen AS (
    SELECT role, video_sha256, list(face_id ORDER BY face_id) AS faces
    FROM people
    GROUP BY role, video_sha256
),
candidates AS (
    SELECT eligible.role, eligible.video_sha256, eligible.reference_sha256, seen.faces
    FROM eligible
    JOIN seen ON seen.role = eligible.role AND seen.video_sha256 = eligible.reference_sha256
),
-- The same references for every face of a video.
references_of AS (
    SELECT role, video_sha256, reference_sha256, faces
    FROM candidates
    WHERE $relation <> 'cross_video'
    QUALIFY row_number() OVER (
        PARTITION BY role, video_sha256
        ORDER BY md5($seed::VARCHAR || '/video/' || reference_sha256), reference_sha256
    ) <= $references
),
drawn AS (
    SELECT people.role, people.video_sha256, people.face_id AS base_id, chosen.reference_sha256, chosen.faces
    FROM people
    JOIN references_of AS chosen
        ON chosen.role = people.role AND chosen.video_sha256 = people.video_sha256
    UNION ALL
    -- Another video for every face.
    SELECT people.role, people.video_sha256, people.face_id, candidates.reference_sha256, candidates.faces
    FROM people
    JOIN candidates
        ON candidates.role = people.role AND candidates.video_sha256 = people.video_sha256
    WHERE $relation = 'cross_video'
    QUALIFY row_number() OVER (
        PARTITION BY people.role, people.video_sha256, people.face_id
        ORDER BY
            md5($seed::VARCHAR || '/video/' || people.face_id || '/' || candidates.reference_sha256),
            candidates.reference_sha256
    ) = 1
)
SELECT
    role,
    video_sha256,
    base_id,
    -- Of one type: 128 bits and a smaller number would meet as doubles.
    faces[
        1 + (md5_number($seed::VARCHAR || '/' || base_id || '/' || reference_sha256) % len(faces)::UHUGEINT)::BIGINT
    ] AS partner_id
FROM drawn
ORDER BY role, video_sha256, base_id, partner_id
