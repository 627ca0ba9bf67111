-- The batch oracle, first part: from messages to visits. owners.sql and batch.sql follow, in one pass of SQL.
--
-- Inputs (made by tests/oracle/batch.py): said (one row a message, read), pairs (two patient numbers, by unit), roster,
-- numbers, programmes, released, codes (value sets), clock (California's offsets by the instant they begin), served
-- (go-live), excludes, end_at. Instants are milliseconds UTC, days are days since 1970-01-01 in California.

create macro day_of(instant) as (
  (instant + (select arg_max(offset_ms, begins) from clock where begins <= instant)) // 86400000
);
create macro back(d, months) as (
  ((date '1970-01-01' + d::integer) - to_months(months))::date - date '1970-01-01'
);

-- 1. Statements: repeats are one; the later entered, then the later built, wins.
create table statements as
select *, dense_rank() over (order by recorded, built, sequence, control) as rank
from (select distinct * from said);

create table ties as
select patient, prior as old, arg_max(visit, rank) as new
from statements where prior is not null and prior <> visit group by patient, prior;

create table numbered as
select s.* replace (coalesce(t.new, s.visit) as visit)
from statements s left join ties t on t.patient = s.patient and t.old = s.visit
where s.visit is not null
  and s.trigger in ('A01','A02','A03','A04','A05','A06','A07','A08','A11','A12','A13','A38');

create table undoes as
select * from (values ('A11','A01'), ('A11','A04'), ('A13','A03'), ('A12','A02'), ('A38','A05')) v(cancel, undone);

-- A number that several visits have: arrivals and departures that stand, by time, divide its statements.
create table dated as
select *, case when trigger = 'A03' then coalesce(ended, occurred, recorded)
               when trigger in ('A01','A04','A06') then coalesce(occurred, begun, recorded)
               else coalesce(occurred, recorded) end as moment
from numbered where shared;

create table dividers as
select *, lag(trigger) over w as trigger_before, lag(moment) over w as moment_before, lag(class) over w as class_before
from dated d where trigger in ('A01','A04','A05') or (trigger = 'A03' and not exists (
  select 1 from dated c where c.trigger = 'A13' and c.patient = d.patient and c.visit = d.visit and c.rank >= d.rank
    and (c.occurred is null or c.occurred // 60000 = d.moment // 60000)))
window w as (partition by patient, visit order by moment, trigger <> 'A03', rank);

create table cuts as
select *, sum(begins::int) over (partition by patient, visit order by moment, trigger <> 'A03', rank) as part
from (select *, case when trigger_before is null then true
    when trigger = 'A03' then trigger_before = 'A03' and moment - moment_before > 172800000
    when trigger_before = 'A03' then true
    else class_before = 'emergency' and moment - moment_before > 172800000 and not exists (
      select 1 from dated s where s.patient = dividers.patient and s.visit = dividers.visit
        and s.moment < dividers.moment and s.moment >= dividers.moment - 172800000) end as begins
  from dividers);

create table starts as
select *, row_number() over (partition by patient, visit, day order by part) as place
from (select patient, visit, part, min(moment) as start, day_of(min(moment)) as day from cuts group by patient, visit, part);

-- Another statement goes where its PV1-44 arrived, a cancel to what it takes back, the rest by their time.
create table placements as
select d.patient, d.visit, d.rank, coalesce(
  (select max(p.part) from cuts p where p.patient = d.patient and p.visit = d.visit and p.rank = d.rank),
  (select max(p.part) from cuts p join undoes u on u.undone = p.trigger
   where p.patient = d.patient and p.visit = d.visit and u.cancel = d.trigger and p.moment // 60000 = d.occurred // 60000),
  (select max(p.part) from cuts p where p.patient = d.patient and p.visit = d.visit and p.trigger <> 'A03'
     and d.trigger in ('A02','A08') and p.moment // 60000 = d.begun // 60000),
  (select max(s.part) from starts s where s.patient = d.patient and s.visit = d.visit
     and d.trigger in ('A02','A08') and s.day = day_of(d.begun)),
  (select max(s.part) from starts s where s.patient = d.patient and s.visit = d.visit and s.start <= d.moment), 1) as part
from dated d;

create table told as
select n.* replace (case when not n.shared or p.part = 1 then n.visit
    when s.place - (s.day = first.day)::int = 1 then n.visit || '~' || (date '1970-01-01' + s.day::integer)::date
    else n.visit || '~' || (date '1970-01-01' + s.day::integer)::date || '~' || (s.place - (s.day = first.day)::int) end as visit)
from numbered n left join placements p using (patient, visit, rank)
left join starts s on s.patient = n.patient and s.visit = n.visit and s.part = p.part
left join starts first on first.patient = n.patient and first.visit = n.visit and first.part = 1;

create table happened as
select *, case when trigger = 'A03' then coalesce(ended, occurred, recorded)
               when trigger in ('A01','A04','A06') then coalesce(occurred, begun, recorded)
               else coalesce(occurred, recorded) end as moment
from told where trigger in ('A01','A02','A03','A04','A05','A06','A07')
-- Of one trigger the statement recorded last holds: a time that was sent again is corrected.
qualify rank = max(rank) over (partition by patient, visit, trigger);

-- A cancel means the happening that its EVN-6 names; naming none, all up to itself.
create table cancels as
select c.patient, c.visit, c.rank, u.undone, c.occurred // 60000 as minute,
       c.trigger = 'A11' and c.class = 'emergency' as still_in_ed,
       c.occurred is not null and exists (
         select 1 from happened h join undoes o on o.undone = h.trigger and o.cancel = c.trigger
         where h.patient = c.patient and h.visit = c.visit and h.moment // 60000 = c.occurred // 60000) as named
from told c join undoes u on u.cancel = c.trigger;

create table stands as
select h.*, exists (
    select 1 from cancels c
    where c.patient = h.patient and c.visit = h.visit and c.undone = h.trigger and c.rank >= h.rank
      and (not c.named or c.minute = h.moment // 60000)
      -- An A11 that leaves the patient in the ED takes back the admission alone.
      and not (c.still_in_ed and not c.named and h.class is distinct from 'inpatient' and exists (
        select 1 from happened a where a.patient = h.patient and a.visit = h.visit and a.trigger in ('A01','A04')
          and a.class = 'inpatient' and a.rank <= c.rank))) as undone
from happened h;

-- 2. Visits.
create table facts as
select patient, visit,
  arg_max(facility, rank) filter (facility is not null) as facility,
  arg_max(account, rank) filter (account is not null) as account,
  arg_max(admission_type, rank) filter (admission_type is not null) as admission_type,
  arg_max(diagnoses, rank) filter (diagnoses is not null) as diagnoses,
  arg_max(if(trigger = 'A13', '', disposition), rank) filter (disposition is not null or trigger = 'A13') as disposition,
  arg_max(if(trigger = 'A11', '', class), rank)
    filter (trigger = 'A11' or (class is not null and trigger in ('A02','A03','A05','A08'))) as class_said,
  max(rank) filter (trigger = 'A11' or (class is not null and trigger in ('A02','A03','A05','A08'))) as class_rank,
  arg_max(if(trigger = 'A11', -1, begun), rank) filter (trigger = 'A11' or (trigger = 'A08' and begun is not null)) as begun,
  max(rank) filter (trigger = 'A11' or (trigger = 'A08' and begun is not null)) as begun_rank,
  arg_max(if(trigger = 'A13', -1, ended), rank) filter (trigger = 'A13' or (trigger <> 'A03' and ended is not null)) as ended,
  max(rank) filter (trigger = 'A13' or (trigger <> 'A03' and ended is not null)) as ended_rank,
  max(rank) filter (trigger = 'A11') as denied_rank
from told group by patient, visit;

create table events as
select patient, visit,
  bool_or(trigger in ('A01','A04') and not undone) as came,
  bool_or(trigger in ('A01','A04') and undone) as revoked,
  bool_or(trigger in ('A02','A03','A06','A07') and not undone) as confirmed,
  max(rank) filter (trigger in ('A02','A03','A06','A07') and not undone) as confirmed_rank,
  bool_or(trigger = 'A05' and not undone) as planned,
  min(moment) filter (trigger in ('A01','A04') and not undone) as first_at,
  arg_min(rank, moment) filter (trigger in ('A01','A04') and not undone) as first_rank,
  min(moment) filter (trigger in ('A01','A04') and not undone and class = 'inpatient') as admission_at,
  min(moment) filter (trigger in ('A01','A04','A06','A07') and not undone and class = 'inpatient') as marked_at,
  min(moment) filter (trigger in ('A02','A03','A06','A07') and not undone) as inferred_at,
  -- The departure recorded last; "still a patient" (30) is none.
  arg_max(moment, rank) filter (trigger = 'A03' and not undone and disposition is distinct from '30') as left_at,
  max(rank) filter (trigger = 'A03' and not undone and disposition is distinct from '30') as left_rank,
  arg_max(class, rank) filter (trigger in ('A01','A04','A06','A07') and not undone and class is not null) as mark,
  max(rank) filter (trigger in ('A01','A04','A06','A07') and not undone and class is not null) as mark_rank,
  bool_or(trigger in ('A01','A04','A06','A07') and not undone and class = 'emergency') as began_in_ed
from stands group by patient, visit;

create table placed as
select e.patient, e.visit, f.account, f.facility, f.admission_type, coalesce(f.diagnoses, []) as diagnoses, e.began_in_ed,
  case when e.came or (e.confirmed and coalesce(f.denied_rank < e.confirmed_rank, true))
         then if(e.left_at is null, 'open', 'closed')
       when e.planned and not e.revoked then 'expected' else 'cancelled' end as status,
  case when f.class_said <> '' and f.class_rank > coalesce(e.mark_rank, 0) then f.class_said
       else coalesce(e.mark, f.class_said) end as class,
  case when not e.came then e.inferred_at
       when f.begun is null or f.begun < 0 or f.begun_rank < e.first_rank then e.first_at
       when abs(f.begun - coalesce(e.admission_at, e.first_at)) < abs(f.begun - e.first_at) then e.first_at
       when abs(f.begun - e.first_at) > 172800000 then e.first_at
       else f.begun end as arrived,
  e.marked_at,
  case when f.ended is null or f.ended < 0 or f.ended_rank < e.left_rank or abs(f.ended - e.left_at) > 172800000
         then e.left_at else f.ended end as departed,
  if(e.left_at is null, '', coalesce(f.disposition, '')) as disposition
from events e join facts f using (patient, visit);
