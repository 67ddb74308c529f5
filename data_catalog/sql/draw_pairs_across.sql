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
-- Names alone: with their lists of faces, a choice among them would take many times the memory.
candidates AS (
    SELECT eligible.role, eligible.video_sha256, eligible.reference_sha256
    FROM eligible
    SEMI JOIN seen ON seen.role = eligible.role AND seen.video_sha256 = eligible.reference_sha256
),
-- The same references for every face of a video.
references_of AS (
    SELECT role, video_sha256, reference_sha256
    FROM candidates
    WHERE $relation <> 'cross_video'
    QUALIFY row_number() OVER (
        PARTITION BY role, video_sha256
        ORDER BY md5(concat($seed, '/video/', reference_sha256)), reference_sha256
    ) <= $references
),
-- Another video for every face. Two videos have different texts, so their digests do not tie.
video_of AS (
    SELECT
        people.role,
        people.video_sha256,
        people.face_id,
        arg_min(
            candidates.reference_sha256,
            md5(concat($seed, '/video/', people.face_id, '/', candidates.reference_sha256))
        ) AS reference_sha256
    FROM people
    JOIN candidates
        ON candidates.role = people.role AND candidates.video_sha256 = people.video_sha256
    WHERE $relation = 'cross_video'
    GROUP BY people.role, people.video_sha256, people.face_id
),
drawn AS (
    SELECT people.role, people.video_sha256, people.face_id AS base_id, chosen.reference_sha256, chosen.faces
    FROM people
    JOIN (
        SELECT references_of.role, references_of.video_sha256, references_of.reference_sha256, seen.faces
        FROM references_of
        JOIN seen ON seen.role = references_of.role AND seen.video_sha256 = references_of.reference_sha256
    ) AS chosen
        ON chosen.role = people.role AND chosen.video_sha256 = people.video_sha256
    UNION ALL
    SELECT video_of.role, video_of.video_sha256, video_of.face_id, video_of.reference_sha256, seen.faces
    FROM video_of
    JOIN seen ON seen.role = video_of.role AND seen.video_sha256 = video_of.reference_sha256
),
-- The halves of a number of 128 bits, whose own remainder takes seventy times as long.
numbered AS (
    SELECT
        role,
        video_sha256,
        base_id,
        faces,
        len(faces)::UBIGINT AS face_count,
        (number >> 64)::UBIGINT AS upper,
        (number & 18446744073709551615::UHUGEINT)::UBIGINT AS lower,
    FROM (SELECT *, md5_number(concat($seed, '/', base_id, '/', reference_sha256)) AS number FROM drawn)
)
-- number % face_count, from upper * 2^64 + lower.
SELECT
    role,
    video_sha256,
    base_id,
    faces[
        1 + ((
            (upper % face_count) * ((18446744073709551615::UBIGINT % face_count + 1) % face_count)
            + lower % face_count
        ) % face_count)::BIGINT
    ] AS partner_id
FROM numbered
ORDER BY role, video_sha256, base_id, partner_id
