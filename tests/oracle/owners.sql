-- The batch oracle, second part: whose a visit is.

-- 3. What is told about a patient; each fact by the statement recorded last that has it.
create table identities as
select patient, max(rank) as said_rank,
  arg_max(cin, rank) filter (cin is not null) as cin, coalesce(max(rank) filter (cin is not null), 0) as rank,
  arg_max(born, rank) filter (born is not null) as born,
  arg_max(name, rank) filter (name is not null) as name,
  arg_max(sex, rank) filter (sex is not null) as sex,
  arg_max(died, rank) filter (died is not null) as died
from statements group by patient;

-- Two birth dates (YYYY-MM-DD) that differ by one digit, or by two that are swapped.
create macro differing(a, b) as list_filter(range(1, 11), lambda i: a[i] <> b[i]);
create macro slip(a, b) as len(differing(a, b)) = 1 or (len(differing(a, b)) = 2
  and a[differing(a, b)[1]] = b[differing(a, b)[2]] and a[differing(a, b)[2]] = b[differing(a, b)[1]]);

-- A CIN or a roster number is believed if birth dates agree; a mistyped one is, if name and sex agree.
create table claims as
select c.patient, c.member, c.how,
  coalesce(i.born = r.born_on, true) or (slip(i.born, r.born_on) and i.name = r.name and i.sex = r.sex) as accepted,
  c.how = 'cin' and exists (
    select 1 from told t where t.patient = c.patient and (t.class = 'newborn' or t.admission_type = '4')
      and day_of(coalesce(t.occurred, t.recorded)) - (i.born::date - date '1970-01-01') between 0 and 31)
    and i.born <> r.born_on as child
from (select patient, cin as member, 'cin' as how from identities where cin is not null
      union all select patient, member, 'roster' from numbers) c
join identities i using (patient) left join roster r using (member);

create table own as
select p.patient, coalesce(i.rank, 0) as rank, case when coalesce(bool_or(child), false) then 'child_of'
    when coalesce(bool_or(not accepted), false) and not bool_or(accepted) then 'identity-conflict' end as refused,
  case when coalesce(bool_or(child), false) then null
    else coalesce(min(c.member) filter (how = 'cin' and accepted), min(c.member) filter (how = 'roster' and accepted),
                  if(coalesce(bool_and(accepted), true), min(d.member), null)) end as member
from (select patient from identities union select survivor from pairs union select retired from pairs) p
left join identities i using (patient) left join claims c using (patient) left join alike d using (patient)
group by p.patient, i.rank;

-- Merges and links that no later A37 takes back. A retired patient is the survivor's; a link has no direction.
create table told_pairs as
select *, dense_rank() over (order by recorded, built, sequence, control) as rank from (select distinct * from pairs);

create table held as
select * from told_pairs p where unit in ('patient', 'link') and not exists (
  select 1 from told_pairs u where u.unit = 'unlink' and u.rank >= p.rank
    and ((u.survivor = p.survivor and u.retired = p.retired) or (u.survivor = p.retired and u.retired = p.survivor)));

create table tops as
with recursive up(patient, root, steps) as (
  select patient, patient, 0 from own
  union all
  select up.patient, m.survivor, up.steps + 1
  from up join (select retired, arg_max(survivor, rank) as survivor from held where unit = 'patient' group by retired) m
    on m.retired = up.root
  where up.steps < 32)
select patient, arg_max(root, steps) as root from up group by patient;

create table groups as
with recursive reached(patient, other) as (
  select root, root from tops
  union
  select r.patient, if(a.root = r.other, b.root, a.root)
  from reached r, held h join tops a on a.patient = h.survivor join tops b on b.patient = h.retired
  where h.unit = 'link' and r.other in (a.root, b.root))
select t.patient, min(r.other) as name from tops t join reached r on r.patient = t.root group by t.patient;

-- The survivor's own evidence; else what the retired know, the latest recorded first.
create table owners as
select g.patient, w.member
from groups g join (
  select name, arg_max(o.member, (t.patient = t.root, o.rank, o.patient)) filter (o.member is not null) as member
  from groups join own o using (patient) join tops t using (patient) group by name) w using (name);

create table refusals as
select o.patient, o.refused as reason from own o join owners w using (patient)
where w.member is null and o.refused is not null and o.patient in (select patient from placed);

-- A visit, or the account it is on, belongs to the patient to whom it was moved last.
create table belongs as
select p.patient, p.visit, coalesce(arg_max(m.survivor, m.rank), p.patient) as holder
from placed p left join told_pairs m
  on (m.unit = 'visit-move' and m.former = p.visit) or (m.unit = 'account-move' and m.former = p.account)
group by p.patient, p.visit;

create table dead as
select distinct w.member from identities i join owners w using (patient), end_at
where w.member is not null and i.died between 0 and now;

create table visits as
select o.member, p.* exclude (marked_at, account), kind, if(kind = 'stay', admitted, arrived) as start,
       day_of(if(kind = 'stay', admitted, arrived)) as day, day_of(departed) as out
from (select *, greatest(coalesce(marked_at, arrived), arrived) as admitted,
        case when class = 'snf' then 'snf' when class in ('inpatient', 'newborn') then 'stay'
             when class = 'emergency' or (class = 'observation' and began_in_ed) then 'ed' else 'other' end as kind
      from placed) p
join belongs b using (patient, visit) join owners o on o.patient = b.holder where o.member is not null;
