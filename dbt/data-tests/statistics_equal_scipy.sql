-- The macros of statistics.sql against scipy 1.17.1: survival functions and quantiles of norm, chi2 and t, to twelve
-- digits. Reads no table.

with

calculated as (

    select '2 * norm.sf(0)' as what, {{ two_sided_p('0.') }} as value, 1. as expected
    union all select '2 * norm.sf(0.001)', {{ two_sided_p('0.001') }}, 0.9992021155721779
    union all select '2 * norm.sf(0.5)', {{ two_sided_p('-0.5') }}, 0.6170750774519738
    union all select '2 * norm.sf(1.959963984540054)', {{ two_sided_p('1.959963984540054') }}, 0.05
    union all select '2 * norm.sf(5)', {{ two_sided_p('-5') }}, 5.733031437583866e-07
    union all select '2 * norm.sf(12)', {{ two_sided_p('12') }}, 3.552964224155306e-33
    union all select '2 * norm.sf(37)', {{ two_sided_p('37') }}, 1.1451142445047853e-299
    union all select 'norm.ppf((1 + 0.5) / 2)', {{ two_sided_z('0.5') }}, 0.6744897501960817
    union all select 'norm.ppf((1 + 0.8) / 2)', {{ two_sided_z('0.8') }}, 1.2815515655446004
    union all select 'norm.ppf((1 + 0.9) / 2)', {{ two_sided_z('0.9') }}, 1.6448536269514729
    union all select 'norm.ppf((1 + 0.95) / 2)', {{ two_sided_z('0.95') }}, 1.959963984540054
    union all select 'norm.ppf((1 + 0.99) / 2)', {{ two_sided_z('0.99') }}, 2.5758293035489004
    union all select 'norm.ppf((1 + 0.999) / 2)', {{ two_sided_z('0.999') }}, 3.2905267314918945
    union all select 'norm.ppf((1 + 0.999999) / 2)', {{ two_sided_z('0.999999') }}, 4.8916384756929325
    union all select 'chi2.sf(0, 1)', {{ chi_square_p('0.0', '1') }}, 1.0
    union all select 'chi2.sf(1e-09, 1)', {{ chi_square_p('1e-09', '1') }}, 0.999974768674784
    union all select 'chi2.sf(3.5, 1)', {{ chi_square_p('3.5', '1') }}, 0.0613688291394023
    union all select 'chi2.sf(10.83, 1)', {{ chi_square_p('10.83', '1') }}, 0.0009986863791802592
    union all select 'chi2.sf(700, 1)', {{ chi_square_p('700.0', '1') }}, 2.990226975124623e-154
    union all select 'chi2.sf(0, 2)', {{ chi_square_p('0.0', '2') }}, 1.0
    union all select 'chi2.sf(1e-06, 2)', {{ chi_square_p('1e-06', '2') }}, 0.999999500000125
    union all select 'chi2.sf(5.99, 2)', {{ chi_square_p('5.99', '2') }}, 0.05003662708658629
    union all select 'chi2.sf(1400, 2)', {{ chi_square_p('1400.0', '2') }}, 9.85967654375939e-305
    union all select 'chi2.sf(0.3, 3)', {{ chi_square_p('0.3', '3') }}, 0.9600284803068776
    union all select 'chi2.sf(7.81, 3)', {{ chi_square_p('7.81', '3') }}, 0.05010605635000589
    union all select 'chi2.sf(100, 3)', {{ chi_square_p('100.0', '3') }}, 1.5541594313896026e-21
    union all select 'chi2.sf(9.49, 4)', {{ chi_square_p('9.49', '4') }}, 0.049953131223294894
    union all select 'chi2.sf(30, 5)', {{ chi_square_p('30.0', '5') }}, 1.4748581038443073e-05
    union all select 'chi2.sf(2, 9)', {{ chi_square_p('2.0', '9') }}, 0.9914676066288135
    union all select 'chi2.sf(20, 10)', {{ chi_square_p('20.0', '10') }}, 0.029252688076961124
    union all select 'chi2.sf(150, 99)', {{ chi_square_p('150.0', '99') }}, 0.0007204453957169282
    union all select 'chi2.sf(80, 100)', {{ chi_square_p('80.0', '100') }}, 0.9296649333406051
    union all select 'chi2.sf(1000, 1001)', {{ chi_square_p('1000.0', '1001') }}, 0.5029742172681295
    union all select '2 * t.sf(0, 1)', {{ student_p('0.0', '1.0') }}, 1.0
    union all select '2 * t.sf(0.001, 1)', {{ student_p('0.001', '1.0') }}, 0.9993633804398159
    union all select '2 * t.sf(12.7, 1)', {{ student_p('12.7', '1.0') }}, 0.050024327689344165
    union all select '2 * t.sf(1000, 1)', {{ student_p('1000.0', '1.0') }}, 0.0006366195601611178
    union all select '2 * t.sf(2.5, 1.7)', {{ student_p('-2.5', '1.7') }}, 0.15118177438904112
    union all select '2 * t.sf(0.5, 4.9965)', {{ student_p('0.5', '4.9965') }}, 0.6383131328808723
    union all select '2 * t.sf(9.3, 4.9965)', {{ student_p('9.3', '4.9965') }}, 0.00024275069865137207
    union all select '2 * t.sf(30, 10.0)', {{ student_p('-30.0', '10.0') }}, 3.961792342031325e-11
    union all select '2 * t.sf(1.96, 33.3)', {{ student_p('1.96', '33.3') }}, 0.058407945732084736
    union all select '2 * t.sf(8, 100)', {{ student_p('8.0', '100.0') }}, 2.2728648077280694e-12
    union all select '2 * t.sf(3, 12345.6)', {{ student_p('3.0', '12345.6') }}, 0.002705183650338796
    union all select '2 * t.sf(37, 1000000.0)', {{ student_p('-37.0', '1000000.0') }}, 1.8299730861801398e-299
    union all select '2 * t.sf(1.5, 1000000000.0)', {{ student_p('1.5', '1000000000.0') }}, 0.13361440285341525
    union all select 't.ppf((1 + 0.95) / 2, 1)', {{ two_sided_t('0.95', '1.0') }}, 12.706204736174694
    union all select 't.ppf((1 + 0.999) / 2, 1)', {{ two_sided_t('0.999', '1.0') }}, 636.619248768719
    union all select 't.ppf((1 + 0.95) / 2, 1.3)', {{ two_sided_t('0.95', '1.3') }}, 7.500529325562029
    union all select 't.ppf((1 + 0.95) / 2, 2)', {{ two_sided_t('0.95', '2.0') }}, 4.302652729749462
    union all select 't.ppf((1 + 0.9) / 2, 5.5)', {{ two_sided_t('0.9', '5.5') }}, 1.9752797040389112
    union all select 't.ppf((1 + 0.95) / 2, 30)', {{ two_sided_t('0.95', '30.0') }}, 2.0422724563012378
    union all select 't.ppf((1 + 0.99) / 2, 1000.5)', {{ two_sided_t('0.99', '1000.5') }}, 2.5807522321743113
    union all select 't.ppf((1 + 0.95) / 2, 1000000.0)', {{ two_sided_t('0.95', '1000000.0') }}, 1.959966356814107
    union all select 't.ppf((1 + 0.95) / 2, 1000000000.0)', {{ two_sided_t('0.95', '1000000000.0') }}, 1.959963986912325

)

select * from calculated
where not (abs(value - expected) <= 1e-12 * expected)
